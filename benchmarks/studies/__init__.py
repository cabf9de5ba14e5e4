"""One-off questions, each one command and one stored answer in results/."""
