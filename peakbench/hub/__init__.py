"""Model cards on the Hugging Face Hub: plan a change, push it as one commit, read it back."""
