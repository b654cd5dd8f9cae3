"""Reading and writing of pictures and video: the one place that imports Pillow and PyAV, and lazily."""
