"""Vision-language models of Hugging Face, trained through TRL and PEFT: ``sft``, ``grpo``, ``gtpo``."""
