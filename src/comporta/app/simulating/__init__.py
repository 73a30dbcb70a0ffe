"""What recorded traffic would have cost under another policy: replayed through today's code, no model asked."""
