"""Live counters of limits and budgets: in memory for one worker, in Redis or Valkey for several."""
