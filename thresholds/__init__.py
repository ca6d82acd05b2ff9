"""The gate between the stages: fitness functions, particle swarm, exact search, threshold files."""
