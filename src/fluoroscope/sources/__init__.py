"""Where frames come from: the virtual C-arm and recorded clips, behind the same protocols."""
