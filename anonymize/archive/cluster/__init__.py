"""The archive on several machines (extra `[cluster]`): never part of a vehicle's image, for it opens sockets."""
