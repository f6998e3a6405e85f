"""How a patient moves: frames of every part as functions of time."""
