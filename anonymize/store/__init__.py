"""What a vehicle keeps: encrypted segments, their retention, the ledger, export and the owner's page."""
