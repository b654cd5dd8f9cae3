"""Old drives reprocessed: files planned, looked at, hidden, verified and entered in a journal."""
