"""The methods of the check ``fooling`` in words."""

METHOD_NAMES = {"gradient_ascent": "gradient ascent", "map_elites": "MAP-Elites", "cppn": "CPPN"}
