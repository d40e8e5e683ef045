"""What all commands share: their flags (`arguments`), their start and end (`entry`)."""
