CREATE VIEW raw_ratings AS SELECT reason, "user", item, rating, timestamp FROM ratings_rows;
