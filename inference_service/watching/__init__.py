"""What follows the bundle store, and decides which of its versions are loaded."""
