"""The presence gates between the two stages: fitness functions, particle swarms, exact search and gate files."""
