// Follows a job: whenever something has happened, what the server says of it is fetched anew and put in place.
const place = document.getElementById("job");
const source = new EventSource(place.dataset.events);
let busy = false;
let again = false;

async function refresh() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    do {
      again = false;
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("job");
      if (fresh === null) return;
      // Kept where it is, so that what reads it aloud notices the change; a focused button stays focused.
      const focused = place.contains(document.activeElement) && document.activeElement.matches("button");
      place.replaceChildren(...fresh.childNodes);
      if (focused) place.querySelector("button")?.focus();
      document.title = page.title;
      if (!fresh.dataset.events) source.close();
    } while (again);
  } finally {
    busy = false;
  }
}

source.addEventListener("state", refresh);
source.addEventListener("step", refresh);
