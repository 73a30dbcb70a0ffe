"""What the guards' training is made of: texts by grammar, data, solving, judging."""
