"""Player props: full distributions of a player's kills, deaths, assists and fantasy points.

============ =====================================================================================
contract     what the model is asked with and what it answers; **serving is written against this**
distribution distributions of counts: P(over line), push, quantiles
series       the same over the maps of a series
============ =====================================================================================
"""
