"""What concerns a whole process: its heap, its scheduling, its files that survive a crash."""
