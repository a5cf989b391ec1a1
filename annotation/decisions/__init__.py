"""From judgements to data: votes become verdicts, verdicts become rows of a version."""
