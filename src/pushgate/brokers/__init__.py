"""What connections to brokers have in common, whatever they speak."""
