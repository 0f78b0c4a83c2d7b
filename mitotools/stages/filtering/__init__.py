"""What `filter` reads beside labels, and the regions that it changes."""
