/* A small panel in OHIF that submits the label: the viewer's MONAI Label panel has no button for it.
 *
 * The labelmap is sent as NRRD with the place of its slices, so that the server can check where it lies. The same way
 * goes "Export DICOM SEG" of OHIF's own segmentation panel, in every mode: what OHIF writes itself can have its slices
 * in reverse order (OHIF/Viewers issue 5183). */
(() => {
  'use strict';

  const LABEL = 'igtv';
  const SEGMENTATION = '1'; // the id that the MONAI Label panel gives its labelmap

  const style = `
    #igtv-submit { position: fixed; right: 10px; bottom: 10px; width: 258px; z-index: 1000; padding: 10px;
      background: #041c4a; color: #fff; border: 1px solid #3a6ea5; border-radius: 6px; font: 13px sans-serif; }
    #igtv-submit button { margin: 6px 6px 0 0; padding: 5px 10px; border-radius: 4px; border: 0; cursor: pointer;
      background: #0a84c1; color: #fff; }
    #igtv-submit button:disabled { background: #445; cursor: default; }
    #igtv-submit button.quiet { background: #33415c; }
    #igtv-submit select { width: 100%; margin-top: 4px; background: #0b2a5b; color: #fff; border: 1px solid #3a6ea5; }
    #igtv-submit p { margin: 7px 0 0; min-height: 2.4em; }
    #igtv-submit p.bad { color: #ff9b8e; }
    #igtv-submit p.good { color: #8ee29b; }`;

  const panel = document.createElement('div');
  panel.id = 'igtv-submit';
  panel.innerHTML = `<b>Submit the IGTV</b>
    <select id="igtv-segment" title="which segment is the IGTV"></select>
    <button id="igtv-send">Submit label</button><button id="igtv-none" class="quiet">No tumour</button>
    <p id="igtv-said" role="status"></p>`;

  const at = id => panel.querySelector(`#${id}`);
  let asked = 0; // when "No tumour" was pressed once

  function say(text, kind = '') {
    at('igtv-said').textContent = text;
    at('igtv-said').className = kind;
  }

  function segments(segmentation = SEGMENTATION) {
    const known = window.cornerstoneTools?.segmentation?.state?.getSegmentation(segmentation)?.segments || {};
    return Object.entries(known)
      .filter(([, segment]) => segment)
      .map(([index, segment]) => ({ index: Number(index), name: segment.label || `segment ${index}` }));
  }

  /* The labelmap's slices from one end to the other, and where they lie (DICOM patient coordinates, mm). */
  function labelmap(segmentation) {
    const { cache, metaData } = window.cornerstone;
    const map = window.cornerstoneTools.segmentation.state.getSegmentation(segmentation).representationData.Labelmap;
    const slices = (map?.imageIds || []).map(id => {
      const image = cache.getImage(id);
      return { image, plane: metaData.get('imagePlaneModule', image?.referencedImageId) };
    });
    const found = /\/series\/([0-9.]+)\//.exec(slices[0]?.image?.referencedImageId || '');
    if (!found || slices.length < 2 || slices.some(slice => !slice.plane)) {
      throw new Error('OHIF does not say on which series the label was drawn; reload the study.');
    }
    const { rowCosines: row, columnCosines: column, rowPixelSpacing, columnPixelSpacing } = slices[0].plane;
    const normal = [0, 1, 2].map(a => row[(a + 1) % 3] * column[(a + 2) % 3] - row[(a + 2) % 3] * column[(a + 1) % 3]);
    const along = slice => slice.plane.imagePositionPatient.reduce((sum, value, axis) => sum + value * normal[axis], 0);
    slices.sort((one, other) => along(one) - along(other));
    const [first, last] = [slices[0], slices[slices.length - 1]].map(slice => slice.plane.imagePositionPatient);
    return {
      series: found[1],
      pixels: slices.map(slice => slice.image.getPixelData()),
      sizes: [slices[0].plane.columns, slices[0].plane.rows, slices.length],
      origin: Array.from(first),
      // neighbouring pixels of a row are a column apart
      steps: [
        Array.from(row, value => value * columnPixelSpacing),
        Array.from(column, value => value * rowPixelSpacing),
        Array.from(last, (value, axis) => (value - first[axis]) / (slices.length - 1)),
      ],
    };
  }

  /* One segment as 0 and 1, and how many voxels it has. */
  function voxelsOf(volume, segment) {
    const size = volume.sizes[0] * volume.sizes[1];
    const mask = new Uint8Array(size * volume.sizes[2]);
    let inside = 0;
    volume.pixels.forEach((pixels, slice) => {
      for (let i = 0; i < size; i++) {
        if (pixels[i] === segment) {
          mask[slice * size + i] = 1;
          inside++;
        }
      }
    });
    return { mask, inside };
  }

  function refreshSegments() {
    const list = at('igtv-segment');
    const found = segments();
    const wanted = found.map(one => `${one.index}:${one.name}`).join();
    if (list.dataset.shown === wanted) {
      return;
    }
    list.dataset.shown = wanted;
    list.replaceChildren(...found.map(one => new Option(one.name, String(one.index))));
    const preset = found.find(one => one.name.toLowerCase() === LABEL);
    list.value = preset ? String(preset.index) : list.options[0]?.value ?? '';
  }

  function nrrdHeader(volume) {
    const vector = values => `(${values.join(',')})`;
    return [
      'NRRD0005',
      'type: uint8',
      'dimension: 3',
      'space: left-posterior-superior',
      `sizes: ${volume.sizes.join(' ')}`,
      `space directions: ${volume.steps.map(vector).join(' ')}`,
      'kinds: domain domain domain',
      'encoding: gzip',
      `space origin: ${vector(volume.origin)}`,
      '\n',
    ].join('\n');
  }

  async function packed(volume, voxels) {
    const stream = new Blob([voxels]).stream().pipeThrough(new CompressionStream('gzip'));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    return new Blob([nrrdHeader(volume), bytes]);
  }

  async function answer(response) {
    const text = await response.text();
    try {
      const content = JSON.parse(text);
      return response.ok ? content : { detail: content.detail || content.error || text };
    } catch {
      return { detail: text.slice(0, 300) };
    }
  }

  /* Send a segment, or that there is no tumour, as the label of the images it was drawn on; tells how it went. */
  async function submit(segmentation, segment, noTumour = false) {
    const volume = labelmap(segmentation);
    const { mask, inside } = voxelsOf(volume, segment.index);
    if (!noTumour && !inside) {
      throw new Error('this segment is empty. Choose another one, draw, or press "No tumour".');
    }
    const form = new FormData();
    const params = { label_info: [{ name: LABEL, idx: 1 }], client_id: 'OHIF', no_tumour: noTumour };
    if (segment.name.toLowerCase() !== LABEL && !noTumour) {
      params.comment = `drawn as ${segment.name}`;
    }
    form.append('params', JSON.stringify(params));
    form.append('label', await packed(volume, noTumour ? new Uint8Array(mask.length) : mask), 'label.nrrd');
    say('Sending ...');
    const query = `image=${encodeURIComponent(volume.series)}&tag=final`;
    const response = await fetch(`${base()}/datastore/label?${query}`, { method: 'PUT', body: form });
    const content = await answer(response);
    if (!response.ok) {
      const login = response.status === 401 ? ' Log in again in another tab, then submit once more.' : '';
      throw new Error(`${content.detail}${login}`);
    }
    const facts = await fetch(`${base()}/datastore/label/info?label=${encodeURIComponent(volume.series)}&tag=final`);
    const known = facts.ok ? await facts.json() : {};
    const volumeText = noTumour ? 'no tumour' : `${known.volume_ml ?? '?'} ml`;
    return `Stored as version ${known.version ?? '?'}: ${volumeText}. Thank you.`;
  }

  async function submitChosen(noTumour) {
    if (!segments().length) {
      throw new Error('there is no label yet: press the round arrow beside "Server", then run a model or draw.');
    }
    const chosen = at('igtv-segment').selectedOptions[0];
    return submit(SEGMENTATION, { index: Number(chosen?.value), name: chosen?.text || LABEL }, noTumour);
  }

  /* In this panel, and in modes without it in a message of OHIF's. */
  function tell(text, good) {
    say(text, good ? 'good' : 'bad');
    if (!panel.isConnected) {
      const type = good ? 'success' : 'error';
      window.services.uiNotificationService.show({ title: 'Submit the IGTV', message: text, type, duration: 8000 });
    }
  }

  /* What "Export DICOM SEG" does here. */
  async function exportSegmentation({ segmentationId }) {
    try {
      const segment = segments(segmentationId).find(one => one.name.toLowerCase() === LABEL);
      if (!segment) {
        throw new Error(`no segment is called ${LABEL}; rename the one that counts.`);
      }
      tell(await submit(segmentationId, segment), true);
    } catch (error) {
      tell(`Not stored: ${error.message}`, false);
    }
  }

  /* OHIF makes its commands anew for every mode. */
  function takeOverExport() {
    for (const commands of Object.values(window.commandsManager?.contexts || {})) {
      if (commands.storeSegmentation && commands.storeSegmentation.commandFn !== exportSegmentation) {
        commands.storeSegmentation = { commandFn: exportSegmentation };
      }
    }
  }

  /* Address of the server: what comes before /ohif/. */
  function base() {
    return window.location.pathname.split('/ohif/')[0];
  }

  async function guarded(noTumour) {
    at('igtv-send').disabled = at('igtv-none').disabled = true;
    try {
      say(await submitChosen(noTumour), 'good');
    } catch (error) {
      say(`Not stored: ${error.message}`, 'bad');
    } finally {
      at('igtv-send').disabled = at('igtv-none').disabled = false;
    }
  }

  at('igtv-send').addEventListener('click', () => guarded(false));
  at('igtv-none').addEventListener('click', () => {
    if (Date.now() - asked > 10000) {
      asked = Date.now();
      say('Press "No tumour" once more to submit that this case has none.');
      return;
    }
    asked = 0;
    guarded(true);
  });

  function update() {
    takeOverExport();
    const annotating = window.location.pathname.includes('/monai-label');
    if (annotating && !panel.isConnected && document.body) {
      document.head.append(Object.assign(document.createElement('style'), { textContent: style }));
      document.body.append(panel);
    } else if (!annotating) {
      panel.remove();
    }
    if (panel.isConnected) {
      refreshSegments();
    }
  }

  window.setInterval(update, 500);
})();
