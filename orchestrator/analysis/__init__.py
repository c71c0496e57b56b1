"""What is read out of decision logs: replay, tear sheet, comparison."""
