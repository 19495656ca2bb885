// replaced by the real program
