"""What this process spends, in one place, whoever spends it: calls of the SDK and events made of spans."""
