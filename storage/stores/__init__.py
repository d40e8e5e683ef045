"""The stores; `opening.open_store` assembles one."""
