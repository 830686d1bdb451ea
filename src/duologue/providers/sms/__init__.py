"""Text messages out and in, through one provider or several."""
