/** A file of a message: a picture that came with it is shown, what lies elsewhere is linked. */

import { DownloadIcon, FileTextIcon } from "@radix-ui/react-icons";
import { useEffect, useMemo, useState } from "react";
import { inlineFile, isPicture } from "../core/parts.js";
import { save } from "./Files.js";
import { useTexts } from "./texts.js";
import { SAFE_LINK } from "./visibleSource.js";

interface FilePartProps {
  name: string;
  mediaType: string;
  url: string;
}

export function FilePart({ name, mediaType, url }: FilePartProps) {
  const texts = useTexts();
  const bytes = useMemo(() => inlineFile(url), [url]);
  const picture = usePicture(bytes, mediaType);
  return (
    <figure className="uci-file">
      {picture && <img src={picture} alt={name} />}
      <figcaption>
        <FileTextIcon aria-hidden />
        {SAFE_LINK.test(url) ? (
          <a href={url} target="_blank" rel="noopener noreferrer nofollow" dir="auto">
            {name}
          </a>
        ) : (
          <bdi>{name}</bdi>
        )}
        {bytes && (
          <button
            type="button"
            className="uci-icon-button"
            aria-label={texts.downloadFile(name)}
            title={texts.downloadFile(name)}
            onClick={() => save(name.split(/[\\/]/).at(-1) || "file", bytes)}
          >
            <DownloadIcon aria-hidden />
          </button>
        )}
      </figcaption>
    </figure>
  );
}

/** An address of this page's own for a picture: a strict policy allows no data: images. */
function usePicture(bytes: Uint8Array<ArrayBuffer> | null, mediaType: string): string | null {
  const [address, setAddress] = useState<string | null>(null);
  useEffect(() => {
    if (!bytes || !isPicture(mediaType)) return;
    const made = URL.createObjectURL(new Blob([bytes], { type: mediaType }));
    setAddress(made);
    return () => {
      setAddress(null);
      URL.revokeObjectURL(made);
    };
  }, [bytes, mediaType]);
  return address;
}
