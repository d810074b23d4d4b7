"""Measures what the studio claims, beside what others do; every figure is printed with its peer."""
