"""Insight into data and networks: figures of a data set, diagrams, receptive fields."""
