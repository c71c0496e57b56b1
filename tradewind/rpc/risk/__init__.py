"""The risk contract on the wire: messages to domain objects and back."""
