CREATE VIEW raw_ratings AS SELECT line, reason, "user", item, rating, timestamp FROM ratings_rows;
