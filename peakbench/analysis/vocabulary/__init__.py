"""What a field's values are taken for, and which words are outside its vocabulary."""
