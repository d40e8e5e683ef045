"""What every command shares: its flags (`arguments`), its start and end (`entry`)."""
