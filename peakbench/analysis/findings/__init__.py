"""What a leaderboard and its pairs say in sentences, each with its evidence, and what they leave open."""
