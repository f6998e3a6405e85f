"""Guidance wired to files, patients and the room: the commands register, needle and plan, and live guidance."""
