INSERT INTO raw_truth SELECT line, reason, "user", item, timestamp, probability FROM truth_rows;
