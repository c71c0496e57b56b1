"""One training: its configuration, its workspace, the agent, the draft of its bundle."""
