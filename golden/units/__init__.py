"""Functional twins of the units: state and one-element steps on full vectors, without time.

The machine decides when a step happens; superlanes are deskewed, so a vector is all L lanes at once.
"""
