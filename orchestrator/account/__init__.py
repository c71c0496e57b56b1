"""The account: positions and their histories, and the journal that brings them back."""
