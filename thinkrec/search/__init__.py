"""Choice of encoders' and gbdt's options on valid: `space` says what is tried, `study` tries it."""
