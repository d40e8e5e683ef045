"""The stores there are; `opening.open_store` puts one together."""
