"""Training: scenarios, what is recorded of an attempt, its score against truth, and the debrief."""
