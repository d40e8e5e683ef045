"""Which tier a file belongs in: access log, rules, plan and journal of moves."""
