"""What is durable: windows, runs, executions, results, registrations, schedules, annotations."""
