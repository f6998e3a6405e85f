"""Errors against truth and speed on this computer: the scorecard, the benchmarks, the analytic phantom."""
