"""Time, memory and progress of jobs. Nothing here can change a number, so it is no part of any job's code hash."""
