"""What is looked for in a data set: facts about every row, and the findings made from them."""
