"""What a caller has seen, how fresh an answer is, and waiting for one to catch up with the other."""
