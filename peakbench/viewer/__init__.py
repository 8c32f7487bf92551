"""Many runs in the browser, while they are going too: a page on this machine that only reads."""
