"""The same job in several frameworks: what ``rift bench peers`` runs, each in an environment of its own.

These programs import nothing of ours but ``bench.peer_programs.shared``, which needs fastavro alone.
"""
